"""Learning: event data, CLIP, the NeuroCLIP adapter and its quantization to the chip's arithmetic."""
