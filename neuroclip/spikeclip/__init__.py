"""SpikeCLIP (Lv et al. 2023–2025): a spiking image encoder beside text, and one that a chip can hold.

In: images and texts. Out: class scores, in floating point and on the chip.

`encoder`: the paper's Spikingformer and the deployable variant, in floating point. `chip`: the
deployable one on the chip's arithmetic. `wiring`: as populations and synapses, attention and skips
included. `text`: the spiking text encoder. `model`: images, text and read-out together.
"""
