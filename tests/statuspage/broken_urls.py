raise RuntimeError("somebody broke the addresses")
