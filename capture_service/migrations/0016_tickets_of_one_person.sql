-- Of two tickets that were open when their leads turned out to be one person, the later is part of the earlier: it is
-- not listed, and is closed and opened with it. That holds while both leads are one; parted, each has its own.
ALTER TABLE tickets ADD COLUMN part_of uuid;
