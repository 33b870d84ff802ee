"""What the URL of a Kafka chest says, and what librdkafka is told of it."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer

from chest.chests.kafka.chest import KafkaChest
from chest.chests.kafka.url import KafkaTarget
from chest.chests.store_identity import store_identity
from chest.errors import SettingsError
from chest.settings.chest_urls import chest_urls_of


def test_a_url_says_where_and_as_whom() -> None:
    target = KafkaTarget.of(
        "kafka+ssl://ada:p%40ss@one,two:9093/shop.records?sasl=scram-sha-256&partitions=6&replication=3&group=readers"
        "&compression=lz4&message_max_bytes=2000000&timeout_seconds=5"
    )
    assert target.brokers == ("one:9092", "two:9093")
    assert (target.topic, target.partitions, target.replication, target.group) == ("shop.records", 6, 3, "readers")
    assert (target.compression, target.message_max_bytes, target.timeout_seconds) == ("lz4", 2_000_000, 5.0)
    assert target.security == {
        "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-256", "sasl.username": "ada", "sasl.password": "p@ss",
    }  # fmt: skip
    assert target.name == "kafka+ssl://ada:***@one:9092,two:9093/shop.records"
    assert target.without_secrets("p@ss and p%40ss") == "*** and ***"


def test_what_is_left_out_has_a_default() -> None:
    target = KafkaTarget.of("kafka://host")
    assert (target.topic, target.partitions, target.replication, target.group) == ("chest_records", None, -1, None)
    assert (target.compression, target.message_max_bytes, target.timeout_seconds) == ("zstd", 1_000_000, 10.0)
    assert target.security == {"security.protocol": "PLAINTEXT"}
    assert target.name == "kafka://host:9092/chest_records"


def test_a_password_is_not_sent_in_the_clear_unless_the_url_asks_for_it() -> None:
    mechanisms = {
        url: KafkaTarget.of(url).security["sasl.mechanisms"]
        for url in ("kafka://u:p@host/t", "kafka+ssl://u:p@host/t", "kafka://u:p@host/t?sasl=PLAIN")
    }
    assert list(mechanisms.values()) == ["SCRAM-SHA-512", "PLAIN", "PLAIN"]


@pytest.mark.parametrize("timeout", ["0.01", "10", "600"])
def test_librdkafka_takes_what_it_is_told(timeout: str) -> None:
    target = KafkaTarget.of(f"kafka://u:p@127.0.0.1:1/t?timeout_seconds={timeout}&message_max_bytes=1000")
    Producer({**target.producer_configuration(), "log_level": 0})
    Consumer({**target.consumer_configuration("g"), "log_level": 0}).close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka:", "names no Kafka"),
        ("kafka://", "names no Kafka"),
        ("kafka://host/a/b", "names no Kafka"),
        ("kafka://host/..", "names no Kafka"),
        ("kafka://host/a b", "names no Kafka"),
        ("kafka://host:0/shop", "names no Kafka"),
        ("kafka://host:70000/shop", "names no Kafka"),
        ("kafka://a,/shop", "names no Kafka"),
        ("kafka://host/shop#x", "names no Kafka"),
        ("kafka://user@host/shop", "a user and a password"),
        ("kafka://host/shop?sasl=PLAIN", "a user and a password"),
        ("kafka://u:p@host/shop?sasl=GSSAPI", "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"),
        ("kafka://host/shop?compression=zip", "zstd, lz4"),
        ("kafka://host/shop?partitions=0", "1 to"),
        ("kafka://host/shop?message_max_bytes=1MB", "whole number"),
        ("kafka://host/shop?partition=6", "Did you mean partitions"),
        ("kafka://host/shop?acks=1", "no option"),
        ("kafka://host/shop?ca_file=/ca.pem", r"write kafka\+ssl://"),
        ("kafka://host/shop?timeout_seconds=0", "more than 0"),
        ("kafka://u:s3cr3t@x@host/shop", "%40"),
    ],
)
def test_what_is_invalid_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        KafkaChest(url)
    assert "s3cr3t" not in str(refusal.value)


def test_urls_of_one_topic_name_one_store_and_several_brokers_are_one_url() -> None:
    urls = ("kafka://a,b:9092/shop", "kafka+ssl://u:p@b:9092,A:9092/shop?partitions=3")
    assert len({store_identity(KafkaTarget.of(url).name) for url in urls}) == 1
    assert store_identity("kafka://a:9092/shop") != store_identity("kafka://a:9092/other")
    assert chest_urls_of("kafka://kafka:9092,log:9092/shop,sqlite:///a.sqlite3") == [
        "kafka://kafka:9092,log:9092/shop", "sqlite:///a.sqlite3",
    ]  # fmt: skip
