"""Networks under other names than those of timm: rules that rename them, a file for each kind."""
