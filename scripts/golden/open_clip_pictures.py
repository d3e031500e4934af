"""The picture processor of OpenAI's CLIP and of OpenCLIP: torchvision's Resize, CenterCrop, ToTensor and Normalize.

Torchvision resizes pictures of Pillow's with Pillow, to the same sizes as the library's CLIP class, and rounds the
middle of the crop to the even pixel where the class rounds it down.
"""

import numpy as np
from transformers import CLIPImageProcessor


class OpenClipImageProcessor(CLIPImageProcessor):
    def center_crop(self, image, size, data_format=None, input_data_format=None, **_):
        """[h, w, 3] -> [size, size, 3]; what the picture lacks is black."""
        assert getattr(input_data_format, "value", input_data_format) == "channels_last"
        for axis, want in enumerate((size["height"], size["width"])):
            lacks = max(want - image.shape[axis], 0)
            padding = [(0, 0)] * 3
            padding[axis] = (lacks // 2, (lacks + 1) // 2)
            image = np.pad(image, padding)
            start = round((image.shape[axis] - want) / 2)
            image = image.take(range(start, start + want), axis)
        return image
