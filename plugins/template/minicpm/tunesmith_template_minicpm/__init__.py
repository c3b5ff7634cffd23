"""The formats of OpenBMB's MiniCPM models: ChatML, from 5 on with thoughts and tools in XML; the first ones' is
tunesmith-template-early's `cpm`.
"""

from tunesmith_template_minicpm.multimodal import MiniCPMO, MiniCPMV, MiniCPMV25, MiniCPMV45, MiniCPMV46
from tunesmith_template_minicpm.text import MiniCPM3, MiniCPM4, MiniCPM5, MiniCPM52B

__all__ = [
    "MiniCPM3",
    "MiniCPM4",
    "MiniCPM5",
    "MiniCPM52B",
    "MiniCPMO",
    "MiniCPMV",
    "MiniCPMV25",
    "MiniCPMV45",
    "MiniCPMV46",
]
