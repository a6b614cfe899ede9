"""What breaks off in the middle is never taken for whole, on either side."""
import pytest

from kit.http import Closed

pytestmark = pytest.mark.short_io

PARTS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
}


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("name", PARTS)
def test_answer_that_breaks_off(gateway, upstream, name, ending):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send(PARTS[name])
        reply = client.head()
        assert reply.status == 200
        if "Content-Length" in reply.headers:
            assert client.exactly(3) == b"abc"
        else:
            assert client.chunked(3) == b"abc"
        getattr(link, ending)()
        with pytest.raises(Closed):
            client.body(reply)
    assert not up.has_caller(0.05)  # never a retry once the answer has begun


@pytest.mark.parametrize("name", PARTS)
def test_answer_that_breaks_off_for_http_1_0(gateway, upstream, name):
    """Where only the end of the connection ends the body, a reset says that it is not whole."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("GET / HTTP/1.0\r\n\r\n")
        link = up.accept()
        link.request()
        link.send(PARTS[name])
        try:
            reply = client.head()
            assert client.exactly(3) == b"abc"
        except Closed as closed:  # a reset takes along what the kernel had not sent yet
            assert "reset" in str(closed) and name == "bad chunk"
            return
        link.close()
        data, how = client.whole_ending()
        assert data == b"" and (how == "reset" or "Content-Length" in reply.headers)


def test_until_close_body_that_is_reset(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\n\r\nabc")
        reply = client.head()
        assert client.chunked(3) == b"abc"
        link.reset()
        with pytest.raises(Closed):
            client.body(reply)


UPLOADS = {
    "length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
    "chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc",
    "between chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "last chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
}


@pytest.mark.parametrize("ending", ["close", "reset", "shut"])
@pytest.mark.parametrize("name", UPLOADS)
def test_upload_that_breaks_off(gateway, upstream, name, ending):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send(UPLOADS[name])
        link = up.accept()
        request = link.head()
        if "Content-Length" in request.headers:
            assert link.exactly(3) == b"abc"
        else:
            assert link.chunked(3) == b"abc"
        getattr(client, ending)()
        with pytest.raises(Closed):
            link.body(request)
    assert not up.has_caller(0.05)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_goes_away_cancels_the_attempt(gateway, upstream, how):
    up = upstream()
    gw = gateway([up])
    client = gw.connect()
    client.ask("GET", "/slow")
    link = up.accept()
    link.request()
    getattr(client, how)()
    assert link.ending() in ("ended", "reset")


def test_client_that_goes_away_in_the_middle_of_an_answer(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    client = gw.connect()
    client.ask("GET", "/slow")
    link = up.accept()
    link.request()
    link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert client.head().status == 200
    client.close()
    assert link.ending() in ("ended", "reset")


def test_client_that_goes_away_between_attempts(gateway, upstream):
    up = upstream()
    gw = gateway([up], retry={"base": "10s", "cap": "10s", "jitter": "none"},
                 log={"requests": "all"})
    client = gw.connect()
    client.ask("GET", "/")
    up.serve(b"no", "503 Service Unavailable")
    client.close()
    line = gw.wait_message("request")
    assert line["whole"] is False and line["attempts"] == 1
