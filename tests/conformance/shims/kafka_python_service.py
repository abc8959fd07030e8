"""Stands in for `test/service.py`, which kafka-python's archive lacks: the broker is there already."""


class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass

    def wait_for(self, pattern, timeout):
        return True


class SpawnedService:
    def __init__(self, args=None, env=None):
        raise RuntimeError("a broker of the test's own cannot be started here")
