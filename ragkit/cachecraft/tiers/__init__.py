"""Where the bytes of cached keys and values lie: process memory, host memory, disk, a remote store."""
