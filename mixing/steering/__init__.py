"""What chooses a training run's mixture as it goes: controllers for ``trainer.proxy.Proxy.steer``, without torch."""
