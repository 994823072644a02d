"""What tests share: miniatures of official layouts, oracles, programs that tests start."""
