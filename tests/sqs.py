"""SQS as moto speaks it, and Lambda's event source mapping between a queue and a handler."""

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.events import Context

REGION = "eu-central-1"
RECEIVES = 3

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class Queue:
    """A queue with its dead-letter queue, at an endpoint of its own: `endpoint`, `url`, `dead_url`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = boto3.client(
            "sqs", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )
        name = f"rounds-{secrets.token_hex(4)}"
        self.dead_url = self.client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        policy = {"deadLetterTargetArn": self._attribute(self.dead_url, "QueueArn"), "maxReceiveCount": RECEIVES}
        self.url = self.client.create_queue(
            QueueName=name, Attributes={"VisibilityTimeout": "330", "RedrivePolicy": json.dumps(policy)}
        )["QueueUrl"]
        self.arn = self._attribute(self.url, "QueueArn")

    def _attribute(self, url: str, name: str) -> str:
        answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return str(answer["Attributes"][name])

    def waiting(self, dead: bool = False) -> int:
        """How many messages could be received now."""
        return int(self._attribute(self.dead_url if dead else self.url, "ApproximateNumberOfMessages"))

    def send(self, body: str) -> None:
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def receive(self, count: int = 4) -> dict[str, Any] | None:
        """A batch as Lambda hands it to a function; None if nothing waits."""
        answer = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=count, WaitTimeSeconds=0, AttributeNames=["All"]
        )
        return self.event(answer["Messages"]) if answer.get("Messages") else None

    def event(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The event of docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, "Example standard queue message event"."""
        return {
            "Records": [
                {
                    "messageId": m["MessageId"],
                    "receiptHandle": m["ReceiptHandle"],
                    "body": m["Body"],
                    "attributes": m["Attributes"],
                    "messageAttributes": {},
                    "md5OfBody": m["MD5OfBody"],
                    "eventSource": "aws:sqs",
                    "eventSourceARN": self.arn,
                    "awsRegion": REGION,
                }
                for m in messages
            ]
        }

    def settle(self, event: dict[str, Any], answer: dict[str, Any] | None) -> None:
        """Delete what was done; what was not (all of it without an answer) may be received again.

        Lambda lets the visibility timeout pass; here it is over at once.
        """
        failed = {f["itemIdentifier"] for f in (answer or {}).get("batchItemFailures", ())}
        for record in event["Records"]:
            handle = {"QueueUrl": self.url, "ReceiptHandle": record["receiptHandle"]}
            if answer is None or record["messageId"] in failed:
                self.client.change_message_visibility(**handle, VisibilityTimeout=0)
            else:
                self.client.delete_message(**handle)

    def deliver(self, handler: Handler, context: Context | None = None) -> int:
        """Invoke the handler until nothing is left to receive; how often that was."""
        invocations = 0
        while event := self.receive():
            invocations += 1
            answer = None
            try:
                answer = handler(event, context or Context())
            finally:
                self.settle(event, answer)
        return invocations


@contextmanager
def endpoint() -> Iterator[str]:
    """The address of an SQS of our own."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
