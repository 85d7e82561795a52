"""How a portal opens the application: the app page, placements in the portal's own pages, the OAuth callback."""
