"""Other systems' programs: NDSP controllers as instruments, COMET's own names."""
