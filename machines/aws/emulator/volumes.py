"""Data volumes as loop devices: files in memory that take as much of it as was written to them.

The devices go with this process: it holds each one open, and a loop device that is told to clear itself does so when the
last one lets go of it, machines that have mounted it included.
"""

import errno
import fcntl
import os
import re
import struct

from cloud import ec2, name_of

LOOP_CONFIGURE, LOOP_SET_CAPACITY, LOOP_CTL_GET_FREE = 0x4C0A, 0x4C07, 0x4C82
CLEARS_ITSELF = 4  # LO_FLAGS_AUTOCLEAR
GIB = 2**30
DATA = re.compile("/dev/sd[f-p]$")  # AWS's names for volumes beside the root volume

_devices = {}  # volume -> (number of the loop device, it and its file as open descriptors, GiB)
_places = {}  # volume -> name of the machine as last told


def follow(tell):
    """Devices as the volumes are; tells of each one that was attached or detached."""
    wanted = {volume.id: name for volume in ec2.volumes.values() for name in [_machine(volume)] if name}
    for volume in [each for each in _places if each not in wanted]:
        _places.pop(volume)
        tell(volume={"id": volume, "device": None, "machine": None})
    for volume, name in wanted.items():
        number = _device(volume, int(ec2.volumes[volume].size))
        if _places.get(volume) != name:
            _places[volume] = name
            tell(volume={"id": volume, "device": f"/dev/loop{number}", "machine": name})
    for volume in [each for each in _devices if each not in ec2.volumes]:
        for descriptor in _devices.pop(volume)[1]:
            os.close(descriptor)


def _machine(volume):
    """Whose data volume it is now; an instance that is gone has none."""
    attachment = volume.attachment
    if not attachment or attachment.instance._state.name in ("shutting-down", "terminated"):
        return None
    return name_of(attachment.instance.id) if DATA.match(attachment.device) else None


def _device(volume, size):
    if volume not in _devices:
        _devices[volume] = (*_loop(os.open(".", os.O_TMPFILE | os.O_RDWR), size), size)
    number, descriptors, had = _devices[volume]
    if had != size:
        os.ftruncate(descriptors[1], size * GIB)
        fcntl.ioctl(descriptors[0], LOOP_SET_CAPACITY)
        _devices[volume] = number, descriptors, size
    return number


def _loop(file, size):
    os.ftruncate(file, size * GIB)
    # struct loop_config: the file, its blocks, struct loop_info64 with the flags in its middle, eight reserved words
    config = struct.pack("<II52xI176x64x", file, 0, CLEARS_ITSELF)
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        while True:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, config)
                return number, (device, file)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
    finally:
        os.close(control)
