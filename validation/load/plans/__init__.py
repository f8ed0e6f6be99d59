"""Plans of a load: what is asked, how often, of what data; files that people read and edit."""
