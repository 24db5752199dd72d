"""IAM as AWS enforces it. moto checks signatures and actions; to it every resource is `*` and every condition is met."""

import fnmatch
import json
import re

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.iam import access_control

from cloud import REGION, ec2, iam, request, secretsmanager, sts

# Which parameters of an EC2 call name what the policy has to allow; a call not named here is about "*".
# Source: AWS's Service Authorization Reference.
EC2_RESOURCES = {
    "AssociateAddress": {"AllocationId": "elastic-ip", "NetworkInterfaceId": "network-interface", "InstanceId": "instance"},
    "DisassociateAddress": {"AllocationId": "elastic-ip", "NetworkInterfaceId": "network-interface"},
    "DetachNetworkInterface": {"InstanceId": "instance", "NetworkInterfaceId": "network-interface"},
    "AssociateIamInstanceProfile": {"InstanceId": "instance"},
    "DisassociateIamInstanceProfile": {"InstanceId": "instance"},
    "AssignPrivateIpAddresses": {"NetworkInterfaceId": "network-interface"},
    "CreateSubnetCidrReservation": {"SubnetId": "subnet"},
    "UnassignPrivateIpAddresses": {"NetworkInterfaceId": "network-interface"},
    "ReplaceRoute": {"RouteTableId": "route-table"},
    "CreateRoute": {"RouteTableId": "route-table"},
    "StartInstances": {"InstanceId": "instance"},
    "StopInstances": {"InstanceId": "instance"},
    "RebootInstances": {"InstanceId": "instance"},
    "TerminateInstances": {"InstanceId": "instance"},
    "ModifyInstanceAttribute": {"InstanceId": "instance"},
    "AttachVolume": {"InstanceId": "instance", "VolumeId": "volume"},
    "DetachVolume": {"InstanceId": "instance", "VolumeId": "volume"},
    "ModifyVolume": {"VolumeId": "volume"},
    "DeleteVolume": {"VolumeId": "volume"},
    "ModifyNetworkInterfaceAttribute": {"NetworkInterfaceId": "network-interface"},
    "DeleteNetworkInterface": {"NetworkInterfaceId": "network-interface"},
    "AuthorizeSecurityGroupIngress": {"GroupId": "security-group"},
    "AuthorizeSecurityGroupEgress": {"GroupId": "security-group"},
    "RevokeSecurityGroupIngress": {"GroupId": "security-group"},
    "RevokeSecurityGroupEgress": {"GroupId": "security-group"},
    "DeleteSecurityGroup": {"GroupId": "security-group"},
    "ReleaseAddress": {"AllocationId": "elastic-ip"},
    "DeleteRoute": {"RouteTableId": "route-table"},
    "DeleteKeyPair": {"KeyName": "key-pair"},
    "DeletePlacementGroup": {"GroupName": "placement-group"},
}
# Route 53 names what a call is about in its path; tags of a health check are at /tags/healthcheck/ID.
ROUTE53_RESOURCES = re.compile(r"/(hostedzone|healthcheck|change)/([^/]+)")
IAM_RESOURCES = {"InstanceProfileName": "instance-profile", "RoleName": "role"}  # the first one that a call names


class Refused(Exception):
    """An answer in AWS's words instead of what was asked for."""

    def __init__(self, service, status, code, message):
        super().__init__(message)
        self.service, self.status, self.code = service, status, code


def enforce():
    check = access_control.IAMRequestBase.check_action_permitted

    def check_each(self, resource):
        service, action = self._action.split(":", 1)
        request.action = self._action
        request.resources = _resources(service, action) or [resource]
        for arn in request.resources:
            check(self, arn)
        request.also = []
        for self._action, arn in _dependent(service, action):
            request.also.append(self._action)
            check(self, arn)
        self._action = request.action
        if request.params.get("DryRun") == "true":
            raise Refused(service, 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")

    permitted = access_control.IAMPolicyStatement.is_action_permitted

    def permitted_here(self, action, resource="*", *args, **kwargs):
        if action.startswith(("ec2:", "iam:", "kms:")) and not _met(self._statement.get("Condition", {}), resource):
            return access_control.PermissionResult.NEUTRAL
        return permitted(self, action, resource, *args, **kwargs)

    def match(pattern, text):  # moto takes "." and "?" of a pattern for a regular expression's
        return re.match(fnmatch.translate(pattern), text, re.IGNORECASE if ":" in pattern[:24] else 0)

    def deny(self):
        words = (f"User: {self._access_key.arn} is not authorized to perform: {self._action} on resource: "
                 f"{', '.join(request.resources)} because no identity-based policy allows the {self._action} action")
        if self._service == "ec2":
            raise Refused("ec2", 403, "UnauthorizedOperation", f"You are not authorized to perform this operation. {words}")
        json_code = "AccessDeniedException" if self._service in ("secretsmanager", "ssm", "kms", "dynamodb") else "AccessDenied"
        raise Refused(self._service, 403, json_code, words)

    access_control.IAMRequestBase.check_action_permitted = check_each
    access_control.IAMPolicyStatement._match = staticmethod(match)
    access_control.IAMPolicyStatement.is_action_permitted = permitted_here
    access_control.IAMRequest._raise_access_denied = deny


def make_user(name, policy):
    """A user with this inline policy; again with another policy: the same keys."""
    if name not in [user.name for user in iam.users.values()]:
        iam.create_user(REGION, name)
        iam.create_access_key(name)
    iam.put_user_policy(name, "all", json.dumps(policy))
    key = iam.get_user(name).access_keys[0]
    return {"accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key}


def caller(authorization):
    """Role and session, or user, behind the access key of a request; never the key itself."""
    key = re.search(r"Credential=([^/]+)/", authorization or "")
    if not key:
        return "nobody"
    for role in sts.assumed_roles:
        if role.access_key_id == key[1]:
            return f"{role.role_arn.split('/')[-1]}/{role.session_name}"
    for user in iam.users.values():
        if key[1] in [each.access_key_id for each in user.access_keys]:
            return user.name
    return "unknown"


def _resources(service, action):
    params = request.params
    if service == "ec2":
        kinds = EC2_RESOURCES.get(action, {})
        arns = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kinds[kind]}/{value}" for name, value in [*params.items(), *_meant(params)]
                for kind in [re.sub(r"\.\d+$", "", name)] if kind in kinds]
        # a rule that gets tags is asked about as well: it has no id yet, and nothing of it is known but those tags
        is_tagged_rule = action.startswith("AuthorizeSecurityGroup") and _request_tags()
        return arns + ([f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group-rule/*"] if is_tagged_rule else [])
    if service == "iam":
        return [f"arn:aws:iam::{ACCOUNT}:{kind}/{params[name]}" for name, kind in IAM_RESOURCES.items() if name in params][:1]
    if service == "secretsmanager" and "SecretId" in params:
        secret = secretsmanager.secrets.get(params["SecretId"])
        return [secret.arn] if secret else []
    if service == "route53":
        return [f"arn:aws:route53:::{kind}/{name}" for kind, name in ROUTE53_RESOURCES.findall(request.path)]
    if service == "ssm" and "Name" in params:
        return [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{params['Name'].removeprefix('/')}"]
    return []


def _meant(params):
    """What stands behind the id of an association or an attachment, by the names of parameters."""
    association, attachment = params.get("AssociationId"), params.get("AttachmentId")
    for address in ec2.addresses:
        if association and address.association_id == association:
            yield "AllocationId", address.allocation_id
            if address.eni:
                yield "NetworkInterfaceId", address.eni.id
    for instance, profile in ec2.iam_instance_profile_associations.items():
        if association and profile.association_id == association:
            yield "InstanceId", instance
    for nic in ec2.enis.values():
        if attachment and nic.attachment_id == attachment:
            yield "NetworkInterfaceId", nic.id
            if nic.instance:
                yield "InstanceId", nic.instance.id


def _request_tags():
    """Tags that the call gives to what it makes."""
    names = [name for name in request.params if re.fullmatch(r"TagSpecification\.\d+\.Tag\.\d+\.Key", name)]
    return {request.params[name]: request.params.get(name.removesuffix("Key") + "Value", "") for name in names}


def _dependent(service, action):
    """What a call takes beside the right to itself: to tag what it makes, to give a machine a role, to decrypt."""
    params = request.params
    if service == "ec2" and any(name.startswith("TagSpecification.") for name in params):
        yield "ec2:CreateTags", "*"
    if service == "iam" and "Tags.member.1.Key" in params:
        yield action.replace("Create", "iam:Tag"), _resources(service, action)[0]
    if service == "secretsmanager" and action == "GetSecretValue":
        secret = secretsmanager.secrets.get(params["SecretId"])
        if secret and secret.kms_key_id:
            yield "kms:Decrypt", secret.kms_key_id
    if action == "AddRoleToInstanceProfile":
        roles = [params["RoleName"]]
    elif action in ("RunInstances", "AssociateIamInstanceProfile") and "IamInstanceProfile.Name" in params:
        roles = [role.name for role in iam.get_instance_profile(params["IamInstanceProfile.Name"]).roles]
    else:
        roles = []
    for role in roles:
        yield "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}"


def _met(conditions, arn):
    """Conditions on what `_facts` knows. Any other condition is not met: loud, not silently granted."""
    facts = _facts(arn) if conditions else {}
    for operator, wanted in conditions.items():
        same = {"StringEquals": str.__eq__, "StringLike": fnmatch.fnmatchcase}.get(operator)
        for key, values in wanted.items():
            values = values if isinstance(values, list) else [values]
            if not same or key not in facts or not any(same(facts[key], value) for value in values):
                return False
    return True


def _facts(arn):
    """Condition keys of this call, as far as it concerns this resource."""
    asked = request.action.split(":")[0]
    facts = {"aws:RequestedRegion": REGION, "iam:PassedToService": "ec2.amazonaws.com",
             "kms:ViaService": f"{asked}.{REGION}.amazonaws.com"}
    if arn.endswith("*"):  # what the call makes; a filter "*" would find every tag there is
        facts.update({f"aws:RequestTag/{key}": value for key, value in _request_tags().items()})
    else:
        for tag in ec2.describe_tags({"resource-id": [arn.split("/")[-1]]}):
            facts[f"aws:ResourceTag/{tag['key']}"] = facts[f"ec2:ResourceTag/{tag['key']}"] = tag["value"]
    boundary = _boundary(arn)
    return facts | ({"iam:PermissionsBoundary": boundary} if boundary else {})


def _boundary(arn):
    """Of the role that the call makes, or changes."""
    if ":role/" not in arn:
        return None
    role = next((role for role in iam.roles.values() if role.arn == arn), None)
    return role.permissions_boundary_arn if role else request.params.get("PermissionsBoundary")
