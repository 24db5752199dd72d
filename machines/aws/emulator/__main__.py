"""An emulated AWS where real machines look for AWS: moto in one process, with what it lacks.

    python emulator CERTIFICATE KEY

Listens in this network namespace: port 80 for whoever has AWS_ENDPOINT_URL, and for instance metadata; port 443 for
machines that ask ec2.REGION.amazonaws.com. Obeys lines of JSON on its standard input, and tells by lines of JSON on its
standard output: {"ready"}, {"call"} of the API, {"instance"} that came, went or changed its state, {"volume"} that was
attached or detached, {"id"} answers.
"""

import io
import json
import os
import re
import ssl
import sys
import threading
import time
import traceback
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

import gaps
import metadata
import network
import rights
import volumes
from cloud import REGION, ec2, lock, name_of, request

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
READ = re.compile(r"Describe|Get|List|Head")

out = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whoever prints does not meet the protocol
out_lock = threading.Lock()
moto = DomainDispatcherApplication(create_backend_app)
faults = []
states = {}  # instance -> (state, address, name) as last told


def tell(**message):
    with out_lock:
        out.write(json.dumps(message, default=str) + "\n")


# --- the API -------------------------------------------------------------------------------------

def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/latest/"):
        status, text = metadata.answer(environ)
        start_response(f"{status} -", [("Content-Type", "text/plain"), (metadata.TOKEN_SECONDS, "21600")])
        return [text.encode()]
    at = time.time()
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    params = parameters(environ, body)
    action = params.pop("Action", "") or environ.get("HTTP_X_AMZ_TARGET", "").split(".")[-1]
    is_s3 = "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", "")
    if is_s3 and "partNumber=" in environ["QUERY_STRING"]:
        action = "UploadPart"  # of S3's calls, which are told apart by method and path, the one that tests disturb
    who, begun = rights.caller(environ.get("HTTP_AUTHORIZATION")), []

    def start(line, fields, _=None):
        begun[:] = [line, fields]  # sent when all has gone well

    answer = fault_for(action, who, "s3" if is_s3 else "ec2", start)
    if answer is None:
        with lock:
            request.params, request.path, request.action, request.resources, request.also = params, environ["PATH_INFO"], "", [], []
            try:
                answer = list(moto(environ, start))
                if not is_s3 and not READ.match(action):
                    network.follow()
                    tell_instances()
                    volumes.follow(tell)
            except rights.Refused as refused:
                answer = error_answer(start, refused.service, refused.status, refused.code, str(refused))
            except Exception as error:  # pylint: disable=broad-except
                # 400: after 500 Terraform tries again, 25 times and in silence
                traceback.print_exc(limit=-4)
                answer = error_answer(start, "ec2", 400, "EmulatorFault", repr(error))
    start_response(*begun)
    status = int(begun[0].split()[0])
    text = b"".join(answer).decode("utf-8", "replace") if status >= 400 else ""
    code = re.search(r"<Code>(.*?)</Code>|\"__type\": \"(\w+)\"", text)
    tell(call={
        "at": at, "from": environ["REMOTE_ADDR"], "who": who, "status": status, "error": code and (code[1] or code[2]),
        "action": request.action or f"?:{action or environ['REQUEST_METHOD'] + ' ' + environ['PATH_INFO']}",
        "resources": request.resources, "also": request.also, "dryRun": params.get("DryRun") == "true",
        # long values are documents and user data; secrets' values are nobody's business
        "with": {key: value for key, value in params.items() if isinstance(value, str) and len(value) < 200 and "Secret" not in key},
    })
    return answer


def parameters(environ, body):
    if "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
        return {}  # the body is an object's content
    text = body.decode("utf-8", "replace")
    if "json" in environ.get("CONTENT_TYPE", ""):
        try:
            return json.loads(text or "{}")
        except ValueError:
            return {}
    params = dict(parse_qsl(text))
    params.pop("Version", None)
    return params


def fault_for(action, who, service, start):
    """What a test has ordered for calls like this one, if anything."""
    for fault in list(faults):
        if action not in fault["actions"] or not re.search(fault["who"], who):
            continue
        fault["count"] -= 1
        if fault["count"] <= 0:
            faults.remove(fault)
        time.sleep(fault.get("seconds", 0))
        if fault["kind"] == "late":
            return None
        code = "SlowDown" if service == "s3" else "RequestLimitExceeded"
        return error_answer(start, service, 503, code, "Request limit exceeded.")
    return None


def error_answer(start, service, status, code, message):
    """In the service's own form."""
    if service in ("secretsmanager", "ssm", "kms", "dynamodb"):
        start(f"{status} -", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"__type": code, "message": message}).encode()]
    start(f"{status} -", [("Content-Type", "text/xml")])
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if service == "s3":
        return [error.encode()]
    if service == "ec2":
        return [f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>".encode()]
    return [f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>".encode()]


def tell_instances():
    for instance in ec2.all_instances():
        nic = instance.nics.get(0)
        known = states.get(instance.id)
        address, name = (nic.private_ip_address, name_of(instance.id)) if nic else ("", "")
        now = (instance._state.name, known[1] if known else address, known[2] if known else name)
        if now != known:
            states[instance.id] = now
            tell(instance={"id": instance.id, "state": now[0], "address": now[1], "name": now[2]})


# --- orders --------------------------------------------------------------------------------------

def obey(order):
    kind = order["do"]
    if kind == "call":
        client = boto3.client(order["service"], endpoint_url="http://127.0.0.1", config=Config(retries={"total_max_attempts": 1}),
                              region_name=REGION, aws_access_key_id=observer["accessKeyId"], aws_secret_access_key=observer["secretAccessKey"])
        result = getattr(client, order["operation"])(**order["with"])
        result.pop("ResponseMetadata", None)
        return result
    if kind == "user":
        with lock:
            return rights.make_user(order["name"], order.get("policy") or ALL)
    if kind == "fault":
        faults[:] = [{"who": "/", "count": 10**9, **fault} for fault in order["faults"]]
        return None
    raise ValueError(f"unknown order {kind}")


def serve_order(line):
    order = json.loads(line)
    try:
        tell(id=order["id"], result=obey(order))
    except ClientError as error:
        tell(id=order["id"], error=str(error), code=error.response["Error"]["Code"])
    except Exception as error:  # pylint: disable=broad-except
        traceback.print_exc(limit=-4)
        tell(id=order["id"], error=repr(error), code="EmulatorFault")


class Quiet(MotoRequestHandler):
    def log(self, *args, **kwargs):
        pass


def serve(port, tls=None):
    server = make_server("0.0.0.0", port, app, threaded=True, request_handler=Quiet, ssl_context=tls)
    if tls:
        close = server.shutdown_request
        server.shutdown_request = lambda connection: (say_goodbye(connection), close(connection))
    server.serve_forever()


def say_goodbye(connection):
    """The end of a connection, as TLS says it: some clients, pgBackRest for one, take an end without it for an attack."""
    try:
        connection.settimeout(2)
        connection.unwrap()
    except (OSError, ValueError):
        pass  # the client has gone


if __name__ == "__main__":
    gaps.close()
    rights.enforce()
    observer = rights.make_user("observer", ALL)
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # rights are enforced from the first call on
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    for arguments in ((80,), (443, context)):
        threading.Thread(target=serve, args=arguments, daemon=True).start()
    tell(ready=True)
    for order_line in sys.stdin:
        threading.Thread(target=serve_order, args=(order_line,), daemon=True).start()
