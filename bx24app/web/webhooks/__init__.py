"""What PBXs and portals send to us over HTTP: `/mango` and `/bitrix24/events`."""
