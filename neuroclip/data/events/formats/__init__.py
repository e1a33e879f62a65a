"""Readers of event files, one module a format: bytes to columns, rows, times and polarities.

In: a file of a stranger. Out: `RawEvents`, or a refusal that names the file.

All end in `RawEvents`: x from the left, y from the top, t in µs, p = 1 where a pixel got brighter
(N-MNIST and N-Caltech101 excepted, whose polarity bit is kept as the data sets define it).
`neuroclip.data.events.recording.read_recording` dispatches by suffix and checks what they return.
"""
