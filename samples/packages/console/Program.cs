using var model = ConsoleSample.TinyLlama.Open();
var result = model.Run([11, 23, 5], batch: 1, seq: 3);
Console.WriteLine($"logits {result.LogitsShape}, likeliest next token {IndexOfMax(result.Logits[^4096..])}");

static int IndexOfMax(ReadOnlySpan<float> values)
{
    int best = 0;
    for (int i = 1; i < values.Length; i++)
    {
        best = values[i] > values[best] ? i : best;
    }

    return best;
}
