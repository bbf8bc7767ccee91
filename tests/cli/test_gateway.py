"""`gateway`: how it is started, and what is told before it is."""

import socket

from tests.cli.conftest import Command


def test_wrong_usage_is_told_before_anything_is_opened(plain: Command) -> None:
    runs = {
        ("--rest-address", "0.0.0.0:8080"): "plaintext beyond loopback shows API keys to the network: use --tls-cert",
        ("--rest-address", "8080"): "must be HOST:PORT",
        ("--grpc-target", "127.0.0.1"): "must be HOST:PORT, such as 127.0.0.1:50051",
        ("--grpc-ca", __file__, "--grpc-insecure"): "--grpc-ca and --grpc-insecure exclude each other",
        ("--tls-cert", "cert.pem"): "--tls-cert and --tls-key go together",
    }
    answers = plain.each(*(("gateway", *arguments) for arguments in runs))
    for answer, problem in zip(answers, runs.values(), strict=True):
        assert (answer.code, answer.out) == (2, "")
        assert problem in answer.err


def test_a_port_that_is_taken_a_file_that_is_not_there_and_a_bad_setting_are_named(plain: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = plain("gateway", "--rest-address", address)
        assert (answer.code, answer.err) == (1, f"error: cannot listen on {address}: Address already in use\n")
    answer = plain("gateway", "--grpc-ca", "ca.pem")
    assert (answer.code, answer.err) == (1, "error: ca.pem: No such file or directory\n")
    answer = plain("gateway", DEVICE_ASSIGNMENT_REST_MAX_BODY_BYTES="0")
    assert answer.code == 1
    assert "DEVICE_ASSIGNMENT_REST_MAX_BODY_BYTES must be a whole number, at least 1024" in answer.err
