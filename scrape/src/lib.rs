//! flyball-scrape
