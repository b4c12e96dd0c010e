-- Spend of each campaign and day, from the archive alone. {archive} is its directory, {next} the first event that does not
-- count any more.
--
-- Every reservation is booked once, by the first notice that pays: a win where the exchange is paid on wins, a bill elsewhere.
-- Notices of test bids, without a usable price, of campaigns that the log did not know yet and of reservations that
-- were forgotten by then book nothing. The booked amount belongs to the campaign-local day of the bid.
--
-- What is booked after the reservation's money has gone back is late: lost, or its auction or its bill over by then. (Money
-- of an earlier start that came back before its time, after lifetimes were lowered, is late as well; that is not said here.)
WITH
known AS (
    SELECT campaign, min("offset") AS since, arg_min(id, "offset") AS id
    FROM read_parquet('{archive}/*/campaign_set/*/*/*.parquet') GROUP BY campaign
),
forgotten AS (
    SELECT "offset", max("before") OVER (ORDER BY "offset") AS minute FROM {forgotten}
),
effective AS (
    SELECT n.*, n.at >= n.bid_at + to_milliseconds(n.auction_ms) AS auction_over,
        n.at >= n.bid_at + to_milliseconds(n.bill_ms) AS bill_over,
        CASE n.kind WHEN 'win' THEN n.spend_on_win WHEN 'bill' THEN NOT n.spend_on_win ELSE false END AS pays
    FROM read_parquet('{archive}/*/notice/*/*/*.parquet', hive_partitioning = false) n
    JOIN known k ON k.campaign = n.campaign AND k.since < n."offset"
    ASOF LEFT JOIN forgotten f ON f."offset" < n."offset"
    WHERE n."offset" < {next} AND NOT n.test AND (n.kind = 'loss' OR n.claim <> 'unusable')
        AND n.bucket >= coalesce(f.minute, 0)
),
booked AS (
    SELECT * FROM effective WHERE pays
    QUALIFY row_number() OVER (PARTITION BY node, epoch, bucket, seq ORDER BY "offset") = 1
),
-- What became known of the auction while the money was still set aside for it.
told AS (
    SELECT * FROM effective WHERE NOT pays AND kind <> 'bill' AND NOT auction_over
    QUALIFY row_number() OVER (PARTITION BY node, epoch, bucket, seq ORDER BY "offset") = 1
),
bookings AS (
    SELECT b.campaign, b.day, b.amount_nanos,
        CASE t.kind WHEN 'loss' THEN true WHEN 'win' THEN b.bill_over ELSE b.auction_over END AS late
    FROM booked b
    LEFT JOIN told t ON (t.node, t.epoch, t.bucket, t.seq) = (b.node, b.epoch, b.bucket, b.seq) AND t."offset" < b."offset"
)
SELECT k.id, CAST(b.day AS VARCHAR) AS day, sum(b.amount_nanos) AS spent,
    coalesce(sum(b.amount_nanos) FILTER (b.late), 0) AS late, count(*) AS billed
FROM bookings b JOIN known k USING (campaign)
GROUP BY ALL
