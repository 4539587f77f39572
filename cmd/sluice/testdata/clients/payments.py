# What a Python service does with Sluice: it produces payments in transactions, one
# of which it takes back, and reads decisions, committed ones only.
# payments.py BROKERS COUNT

import datetime
import json
import sys
import time

from confluent_kafka import Consumer, Producer

brokers, count = sys.argv[1], int(sys.argv[2])


def send(producer, event):
    producer.produce("payments", key=event, value=json.dumps({
        "event": {"id": event, "type": "payment.authorization", "time": datetime.datetime.now(datetime.timezone.utc).isoformat()},
        "amount": {"value": "12.30", "currency": "USD"},
        "customer": {"id": event},
    }))


producer = Producer({"bootstrap.servers": brokers, "transactional.id": "python-shop"})
producer.init_transactions()
producer.begin_transaction()
for i in range(10):
    send(producer, f"python-taken-back-{i}")
producer.flush()
producer.abort_transaction()
producer.begin_transaction()
for i in range(count):
    send(producer, f"python-{i}")
producer.commit_transaction()

consumer = Consumer({"bootstrap.servers": brokers, "group.id": "python-shop", "auto.offset.reset": "earliest",
                     "isolation.level": "read_committed", "enable.auto.commit": False})
consumer.subscribe(["decisions"])
seen, twice, types = set(), 0, 0
end = time.monotonic() + 60
while len(seen) < count and time.monotonic() < end:
    message = consumer.poll(0.5)
    if message is None:
        continue
    if message.error():
        sys.exit(str(message.error()))
    decision = json.loads(message.value())
    if not decision["event"].startswith("python-") or decision["action"] not in ("allow", "review", "block"):
        continue
    twice += decision["event"] in seen
    seen.add(decision["event"])
    types += dict(message.headers())["ce_type"] == b"sluice.decision"
consumer.close()
taken_back = sum(event.startswith("python-taken-back") for event in seen)
print(f"{len(seen)} decided, {twice} twice, {taken_back} of what was taken back, {types} with their type")
