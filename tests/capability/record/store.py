"""An object store whose objects can be locked and whose requests must be signed (moto), for a test.

Prints its port, the access key and the secret key, a line. Then, for each line it reads, the objects as one line of
JSON: name, text, how it is locked, until when, and whether the store would let it be removed.
"""

import json, os, sys

# So many calls need no signature: those that make the user, its key, its rights and the bucket.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]


def client(kind, key="any", secret="any"):
    return boto3.client(
        kind, endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-central-1",
        aws_access_key_id=key, aws_secret_access_key=secret,
    )


iam = client("iam")
iam.create_user(UserName="gate")
made = iam.create_access_key(UserName="gate")["AccessKey"]
rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="gate", PolicyName="all", PolicyDocument=json.dumps(rights))
client("s3").create_bucket(
    Bucket="evidence", ObjectLockEnabledForBucket=True,
    CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
)
s3 = client("s3", made["AccessKeyId"], made["SecretAccessKey"])
print(port, made["AccessKeyId"], made["SecretAccessKey"], flush=True)


def told(version):
    name = {"Bucket": "evidence", "Key": version["Key"], "VersionId": version["VersionId"]}
    found = s3.get_object(**name)
    try:
        s3.delete_object(**name)
        removable = True
    except ClientError:
        removable = False
    return {
        "name": version["Key"], "text": found["Body"].read().decode(), "lock": found.get("ObjectLockMode"),
        "until": found["ObjectLockRetainUntilDate"].timestamp() if "ObjectLockMode" in found else None,
        "removable": removable,
    }


for _ in sys.stdin:
    versions = s3.list_object_versions(Bucket="evidence").get("Versions", [])
    print(json.dumps([told(version) for version in versions]), flush=True)
