"""A Bitrix24 cloud: an OAuth server and portals with REST, CRM, telephony and events, all in memory.

Facts marked "S:" were read in the self-hosted modules (rest, voximplant, crm 26.x), the others in the official documentation.
"""
