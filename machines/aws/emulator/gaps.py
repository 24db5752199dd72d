"""What AWS does and moto 5.2 does not, as far as this project's stacks and machines meet it."""

import random

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import elastic_ip_addresses
from moto.ec2.models.instances import Instance
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.iam.access_control import IAMRequestBase

from cloud import ec2

ELASTIC = "198.51.100"  # for documentation: it belongs to nobody


def close():
    _rules_without_ports()
    _addresses_move()
    _interfaces_outlive_instances()
    _terminated_for_ever()
    _placement_groups()
    _gateways_take_their_interfaces_along()
    _reservations_have_descriptions()
    _empty_bodies_are_signed_empty()
    # moto's own are 127.x.x.x, which no machine can reach
    elastic_ip_addresses.random_ip = lambda: f"{ELASTIC}.{random.randint(1, 254)}"


def _rules_without_ports():
    """A rule for a protocol without ports, as VRRP's 112, is a fault in moto; at AWS its ports are -1."""
    init = SecurityGroupRule.__init__

    def fixed(self, backend, protocol, group, from_port, to_port, *args, **kwargs):
        ports = [-1 if port is None and protocol != "-1" else port for port in (from_port, to_port)]
        init(self, backend, protocol, group, *ports, *args, **kwargs)

    SecurityGroupRule.__init__ = fixed
    # of a rule between groups moto forgets the description
    SecurityGroupRule.description = property(lambda self: self.ip_range.get("Description") or self.source_group.get("Description"))


def _addresses_move():
    """A secondary address has one interface; moto leaves it on the old one too."""
    assign = ElasticNetworkInterfaces.assign_private_ip_addresses

    def fixed(self):
        interface, wanted = self._get_param("NetworkInterfaceId"), self._get_param("PrivateIpAddresses", [])
        for other in ec2.enis.values():
            taken = [address["PrivateIpAddress"] for address in other.private_ip_addresses if address["PrivateIpAddress"] in wanted]
            if not taken or other.id == interface:
                continue
            if not self._get_bool_param("AllowReassignment", False) or other.private_ip_address in taken:
                raise EC2ClientError("InvalidParameterValue", f"{taken} is already assigned to {other.id}")
            ec2.unassign_private_ip_addresses(other.id, taken)
        mine = [address["PrivateIpAddress"] for address in ec2.enis[interface].private_ip_addresses]
        if wanted and all(address in mine for address in wanted):
            if not self._get_bool_param("AllowReassignment", False):
                raise EC2ClientError("InvalidParameterValue", f"{wanted} is already assigned to {interface}")
            ec2.unassign_private_ip_addresses(interface, [address for address in wanted if address != ec2.enis[interface].private_ip_address])
        return assign(self)

    ElasticNetworkInterfaces.assign_private_ip_addresses = fixed


def _interfaces_outlive_instances():
    """An interface that was made apart is free again when its instance is gone; moto keeps it attached for ever."""
    terminate = Instance.terminate

    def fixed(self, *args, **kwargs):
        previous = terminate(self, *args, **kwargs)
        for nic in self.nics.values():  # not detach_eni(): DescribeInstances needs self.nics[0]
            nic.instance = nic.attachment_id = nic.attach_time = None
            nic.status = "available"
        return previous

    Instance.terminate = fixed


def _terminated_for_ever():
    """moto stops an instance that is gone, and starts it again."""
    def only_while_there(change):
        def fixed(self, *args, **kwargs):
            if self._state.name == "terminated":
                raise EC2ClientError("IncorrectInstanceState", f"The instance '{self.id}' is terminated.")
            return change(self, *args, **kwargs)
        return fixed

    Instance.start, Instance.stop = only_while_there(Instance.start), only_while_there(Instance.stop)


def _gateways_take_their_interfaces_along():
    """moto leaves the interface of a NAT gateway that is gone."""
    delete = NatGatewayBackend.delete_nat_gateway

    def fixed(self, nat_gateway_id):
        gateway = delete(self, nat_gateway_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    NatGatewayBackend.delete_nat_gateway = fixed


def _reservations_have_descriptions():
    """moto forgets the description of a reserved part of a subnet, and Terraform would make it anew for it."""
    create = EC2Response.create_subnet_cidr_reservation

    def fixed(self):
        answer = create(self)
        answer.result["SubnetCidrReservation"].description = self._get_param("Description")
        return answer

    EC2Response.create_subnet_cidr_reservation = fixed


def _empty_bodies_are_signed_empty():
    """Of Route 53's calls without a body moto takes what it found in the path for the body, and finds them signed wrongly."""
    make = IAMRequestBase._create_aws_request

    def fixed(self):
        if self._service != "route53":
            return make(self)
        data = self._data
        self._data = b""
        try:
            return make(self)
        finally:
            self._data = data

    IAMRequestBase._create_aws_request = fixed


def _placement_groups():
    """moto has none."""
    groups = {}

    def create(self):
        name = self._get_param("GroupName")
        if name in groups:
            raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        tags = self._parse_tag_specification("placement-group").get("placement-group", {})
        number = f"pg-{len(groups):017x}"
        groups[name] = {"GroupName": name, "GroupId": number, "State": "available", "Strategy": self._get_param("Strategy"),
                        "SpreadLevel": "rack", "GroupArn": f"arn:aws:ec2:{ec2.region_name}:{ec2.account_id}:placement-group/{name}",
                        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        return ActionResult({"PlacementGroup": groups[name]})

    def describe(self):
        wanted = self._get_param("GroupNames", [])
        unknown = [name for name in wanted if name not in groups]
        if unknown:
            raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{unknown[0]}' is unknown.")
        return ActionResult({"PlacementGroups": [group for name, group in groups.items() if not wanted or name in wanted]})

    def delete(self):
        name = self._get_param("GroupName")
        if any(i.placement.group_name == name and i._state.name != "terminated" for i in ec2.all_instances()):
            raise EC2ClientError("InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use.")
        groups.pop(name)
        return EmptyResult()

    EC2Response.create_placement_group = create
    EC2Response.describe_placement_groups = describe
    EC2Response.delete_placement_group = delete
    run = EC2Response.run_instances

    def run_there(self):
        before = {instance.id for instance in ec2.all_instances()}
        answer = run(self)
        for instance in ec2.all_instances():
            if instance.id not in before:
                instance.placement.group_name = self._get_param("Placement.GroupName") or ""
        return answer

    EC2Response.run_instances = run_there
