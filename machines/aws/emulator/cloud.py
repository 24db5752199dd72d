"""The state of the emulated AWS, which moto keeps in this process."""

import threading

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import sts_backends

REGION = "eu-west-1"
ec2 = ec2_backends[ACCOUNT][REGION]
iam = iam_backends[ACCOUNT]["aws"]
secretsmanager = secretsmanager_backends[ACCOUNT][REGION]
sts = sts_backends[ACCOUNT]["aws"]

lock = threading.RLock()  # moto's state has none, and Terraform asks ten things at once


class Request(threading.local):
    """The call that this thread answers."""

    params: dict = {}
    path = ""
    action = ""
    resources: list = []
    also: list = []  # actions that it took beside its own


request = Request()


def name_of(resource):
    return next((tag["value"] for tag in ec2.describe_tags({"resource-id": [resource]}) if tag["key"] == "Name"), "")


def running_at(address):
    """The running instance that has this private address."""
    for instance in ec2.all_instances():
        if instance._state.name == "running" and address in [nic.private_ip_address for nic in instance.nics.values()]:
            return instance
    return None


def role_of(instance):
    association = ec2.iam_instance_profile_associations.get(instance.id)
    roles = association.iam_instance_profile.roles if association else []
    return roles[0] if roles else None
