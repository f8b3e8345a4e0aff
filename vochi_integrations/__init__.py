"""vochi-integrations: a bridge between Asterisk phone systems and CRMs."""

from importlib.metadata import version

__version__ = version("vochi-integrations")
