"""Public conformance kits: prove that a part of your own keeps the contracts."""
