"""What our families are compared with: three models as they are usually written, independent of `mr2ct`'s own code.

`pictures` turns slices into what such code learns from, `timed_loop` trains any of the three for so many minutes.
"""

from __future__ import annotations

from baselines.monai_attention_unet import MonaiAttentionUnet
from baselines.plain_cyclegan import PlainCycleGAN
from baselines.plain_pix2pix import PlainPix2Pix

BASELINES = {"plain-pix2pix": PlainPix2Pix, "plain-cyclegan": PlainCycleGAN, "monai-attention-unet": MonaiAttentionUnet}
