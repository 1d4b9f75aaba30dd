"""How the plugin is shipped: frozen, packed, and described to krew."""
