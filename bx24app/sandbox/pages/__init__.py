"""The sandbox in the browser: the pages of the simulated portal, and the page of the simulated PBX."""
