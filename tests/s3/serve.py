"""An S3 server with the bucket `archive`, until it is ended: prints its address. With an address and a word it spoils what
is in the bucket there: `truncate` cuts a Parquet file, `replace` a manifest. tests/s3/run calls it."""

import signal
import sys

import boto3


def client(endpoint):
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                        aws_access_key_id="test", aws_secret_access_key="test")


def serve():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client(endpoint).create_bucket(Bucket="archive")
    print(endpoint, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def spoil(endpoint, what):
    s3 = client(endpoint)
    names = [entry["Key"] for entry in s3.list_objects_v2(Bucket="archive")["Contents"]]
    end = "/part.parquet" if what == "truncate" else "/manifest.json"
    name = next(name for name in names if name.endswith(end))
    body = s3.get_object(Bucket="archive", Key=name)["Body"].read()
    s3.put_object(Bucket="archive", Key=name, Body=body[:-1])


if len(sys.argv) == 1:
    serve()
else:
    spoil(*sys.argv[1:])
