"""What people see: tables, live views, colour, json and yaml. It fetches nothing."""
