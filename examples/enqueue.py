#!/usr/bin/env python3
"""An upstream system: hands applications and changes to hosho over RabbitMQ, and may listen for the results.

    AMQP_URL=amqps://user:password@mq.example.com/ enqueue.py applications.jsonl --listen 10

Each line of the file is one application (`application.v1`, see schema/) or one change of a guarantee, which has a `kind`
(`amendment.v1` and so on). Sending a line twice is safe: its identifier makes it the same. Needs Python 3 and pika (Debian: python3-pika).

Exit code: 0 all accepted; 1 the broker did not accept some lines (they are named); 2 nothing could be sent.
"""

import argparse
import json
import os
import ssl
import sys
import uuid

import pika


def main():
    parser = argparse.ArgumentParser(description="Hand applications and changes (JSON Lines) to hosho.")
    parser.add_argument("file", help="JSON Lines, one application or change a line; - for standard input")
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost/"),
                        help="amqp:// or amqps:// URL of the broker; other users of the host see it, so give a password in AMQP_URL")
    parser.add_argument("--ca-file", help="PEM file of a private certificate authority, for amqps://")
    parser.add_argument("--prefix", default="hosho.", help="start of hosho's exchange names (default: %(default)s)")
    parser.add_argument("--listen", type=int, default=0, metavar="N", help="then print N results as JSON Lines")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="give up listening after S seconds without a result")
    arguments = parser.parse_args()

    parameters = pika.URLParameters(arguments.url)
    if arguments.ca_file:
        context = ssl.create_default_context(cafile=arguments.ca_file)
        parameters.ssl_options = pika.SSLOptions(context, parameters.host)
    try:
        source = sys.stdin.buffer if arguments.file == "-" else open(arguments.file, "rb")
        with source, pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            # Listen first: an event goes to the queues that exist at its moment.
            results = listen(channel, arguments.prefix) if arguments.listen else None
            refused = send(channel, arguments.prefix, source)
            if results:
                show(channel, results, arguments.listen, arguments.timeout)
    except (pika.exceptions.AMQPError, OSError) as error:
        sys.exit(complain(f"cannot send: {error or type(error).__name__}", 2))
    for line, problem in refused:
        complain(f"line {line} was not accepted: {problem}", 1)
    sys.exit(1 if refused else 0)


def send(channel, prefix, source):
    """Publishes every line; returns the lines that the broker has not taken responsibility for."""
    # With confirms, basic_publish returns when the message is safely stored, and raises otherwise.
    channel.confirm_delivery()
    refused = []
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        stage, message_type = addressee(line)
        properties = pika.BasicProperties(
            type=message_type,
            content_type="application/json",
            message_id=message_id(line),
            delivery_mode=2,  # survives a restart of the broker
        )
        try:
            channel.basic_publish(prefix + "work", stage, line.strip(), properties, mandatory=True)
        except (pika.exceptions.NackError, pika.exceptions.UnroutableError) as error:
            refused.append((number, type(error).__name__))
        except pika.exceptions.AMQPError as error:
            # The connection or channel is gone: this line and everything after it.
            refused.append((number, f"{error or type(error).__name__}; nor was any line after it"))
            break
    return refused


def addressee(line):
    """The routing key and the type of a line: changes have a kind, applications have none."""
    try:
        kind = json.loads(line)["kind"]
    except (ValueError, TypeError, KeyError):
        return "validate", "application.v1"
    return "amend", f"{kind}.v1"


def message_id(line):
    """The same for the same line, so that a message sent twice can be recognised in logs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "urn:example:application:" + line.strip().decode("utf-8", "replace")))


def listen(channel, prefix):
    """Makes a queue of our own that receives the results; a real system would use a durable one with a name."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    for pattern in ("application.#", "change.#", "guarantee.#"):
        channel.queue_bind(queue, prefix + "events", pattern)
    return queue


def show(channel, queue, count, timeout):
    """Prints results as they come: the routing key says what happened, the body what to."""
    for delivery, _properties, body in channel.consume(queue, inactivity_timeout=timeout):
        if delivery is None:
            complain(f"no result within {timeout:g} s", 0)
            break
        print(json.dumps({"event": delivery.routing_key, "result": json.loads(body)}, ensure_ascii=False), flush=True)
        channel.basic_ack(delivery.delivery_tag)
        count -= 1
        if count == 0:
            break
    channel.cancel()


def complain(text, code):
    print(f"enqueue.py: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
