"""With this folder on PYTHONPATH every Python process has the pretended devices before it begins: worker processes,
which know nothing of the tests, can be sent there. The folder of the tests has to be on the path, too."""

from support.devices import pretend_device

pretend_device.settle()
