"""What is done to a process, whatever it is."""

import signal


class Process:
    """A process that the harness started: `process`, none before."""

    process = None

    def kill(self):
        """`kill -9`: no goodbye to anyone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pause(self):
        """Stops the process in its tracks; the system goes on accepting connections for it."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def running(self):
        return self.process is not None and self.process.poll() is None
