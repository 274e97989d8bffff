"""Block-wise work on volumes of any size: geometry, work list, progress, the loop over blocks."""
