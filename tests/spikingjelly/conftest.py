from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # the host's model builders import torchvision
