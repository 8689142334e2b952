-- How the images of pods came to their nodes: one row for each image of a pod whose start was seen.
-- Times are seconds since 1970.
CREATE TABLE image_starts (
    pod TEXT NOT NULL,
    image TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    -- How long it was pulled, in milliseconds; nothing where it was there already.
    pull_ms BIGINT,
    PRIMARY KEY (pod, image)
);

CREATE INDEX image_starts_seen_at ON image_starts (seen_at);
