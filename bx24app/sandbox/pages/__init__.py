"""The sandbox in the browser: the portal's pages and the PBX's page."""
