"""What the gateway's tests share: the program under test, raw clients, scripted upstreams."""
