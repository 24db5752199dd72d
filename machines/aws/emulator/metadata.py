"""Instance metadata, version 2, for the instance at the asking address."""

import json
import secrets
import socket
import time

from cloud import REGION, ec2, lock, role_of, running_at, sts

TOKEN_SECONDS = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
_tokens = {}  # token -> address it was given to
_leases = {}  # instance -> credentials of its role


def answer(environ):
    """Status and text."""
    address = environ["REMOTE_ADDR"]
    with lock:
        instance = running_at(address)
        if not instance:
            return 404, ""
        options = instance.metadata_options
        path = environ["PATH_INFO"]
        if path == "/latest/api/token":
            if environ["REQUEST_METHOD"] != "PUT":
                return 405, ""
            # The packets with the token die where they would travel further than the instance allows.
            environ["werkzeug.socket"].setsockopt(socket.IPPROTO_IP, socket.IP_TTL, options.http_put_response_hop_limit)
            token = secrets.token_hex(16)
            _tokens[token] = address
            return 200, token
        token = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN")
        if _tokens.get(token) != address and (token or options.http_tokens == "required"):
            return 401, ""
        text = _text(instance, address, path.removeprefix("/latest/meta-data/").rstrip("/"))
        return (404, "") if text is None else (200, text)


def _text(instance, address, path):
    nic = instance.nics[0]
    mac = "52:54:" + ":".join(f"{int(octet):02x}" for octet in address.split("."))  # as machines/subnet.ts gives it
    public = next((elastic.public_ip for elastic in ec2.addresses if elastic.eni and elastic.eni.id == nic.id), None)
    simple = {
        "instance-id": instance.id,
        "instance-type": instance.instance_type,
        "local-ipv4": address,
        "public-ipv4": public,
        "mac": mac,
        f"network/interfaces/macs/{mac}/local-ipv4s": "\n".join(each["PrivateIpAddress"] for each in nic.private_ip_addresses),
        "placement/region": REGION,
        "placement/availability-zone": nic.subnet.availability_zone,
    }
    role = role_of(instance)
    credentials = "iam/security-credentials"
    if role and path == credentials:
        return role.name
    if role and path == f"{credentials}/{role.name}":
        return _credentials(instance, role)
    return simple.get(path)


def _credentials(instance, role):
    lease = _leases.get(instance.id)
    if not lease or lease.role_arn != role.arn:
        lease = _leases[instance.id] = sts.assume_role(REGION, instance.id, role.arn, "", 3600, "")
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 3600))
    return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": lease.access_key_id,
                       "SecretAccessKey": lease.secret_access_key, "Token": lease.session_token, "Expiration": end})
