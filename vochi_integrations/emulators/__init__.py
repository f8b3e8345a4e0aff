"""Stand-ins for CRMs, as strict as the real ones."""
