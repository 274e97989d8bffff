"""Colours that figures, the viewer and the pages share."""

INVENTED, MISSED = "#2882ff", "#ff8200"
"""Light in a restoration that the data contradict, and light in the data that it lacks."""
