"""What a company's administrator sees and does: sign-in, pages, and the API behind them."""
