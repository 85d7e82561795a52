"""The Bitrix24 adapter: everything that speaks with Bitrix24. It knows neither tables, nor Flask, nor Mango Office."""
