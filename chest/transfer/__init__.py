"""Stored records, moved from chest to chest: by hand, on a timetable; and removed when they are old."""
