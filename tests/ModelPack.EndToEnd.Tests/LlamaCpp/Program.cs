using System.Globalization;
using LLama;
using LLama.Common;
using LLama.Native;

// llama.cpp, by LLamaSharp: loads a GGUF file, prints the perplexity of windows of tokens, then the token of each position that is likeliest to follow the first window.
//   LlamaCpp model.gguf tokens.bin window windows
// Or prints the ids that its vocabulary makes of texts:
//   LlamaCpp model.gguf --tokenize text...
NativeLibraryConfig.All.WithLogCallback((LLamaLogLevel level, string message) =>
{
    if (level >= LLamaLogLevel.Error)
    {
        Console.Error.Write(message);
    }
});
if (args[1] == "--tokenize")
{
    using LLamaWeights vocabulary = LLamaWeights.LoadFromFile(new ModelParams(args[0]) { VocabOnly = true });
    foreach (string text in args[2..])
    {
        Console.WriteLine(string.Join(' ', vocabulary.Tokenize(text, add_bos: true, special: true, System.Text.Encoding.UTF8).Select(t => (int)t)));
    }

    return 0;
}

int window = int.Parse(args[2], CultureInfo.InvariantCulture);
int windows = int.Parse(args[3], CultureInfo.InvariantCulture);
byte[] bytes = File.ReadAllBytes(args[1]);
int Token(int i) => BitConverter.ToUInt16(bytes, 2 * i);
var options = new ModelParams(args[0]) { ContextSize = (uint)window, BatchSize = (uint)window, UBatchSize = (uint)window, GpuLayerCount = 0, Threads = 1, BatchThreads = 1 };
using LLamaWeights weights = LLamaWeights.LoadFromFile(options);
using LLamaContext context = weights.CreateContext(options);
double loss = 0;
long predictions = 0;
var likeliest = new List<int>();
for (int i = 0; i < windows; i++)
{
    context.NativeHandle.MemoryClear();
    var batch = new LLamaBatch();
    for (int t = 0; t < window; t++)
    {
        batch.Add((LLamaToken)Token((i * window) + t), (LLamaPos)t, LLamaSeqId.Zero, true);
    }

    if (context.Decode(batch) != DecodeResult.Ok)
    {
        Console.Error.WriteLine("decode failed");
        return 1;
    }

    for (int t = 0; t + 1 < window; t++)
    {
        Span<float> logits = context.NativeHandle.GetLogitsIth(t);
        double sum = 0;
        int best = 0;
        for (int v = 0; v < logits.Length; v++)
        {
            best = logits[v] > logits[best] ? v : best;
            sum += Math.Exp(logits[v]);
        }

        loss += Math.Log(sum) - logits[Token((i * window) + t + 1)];
        predictions++;
        if (i == 0)
        {
            likeliest.Add(best);
        }
    }
}

Console.WriteLine(Math.Exp(loss / predictions).ToString("R", CultureInfo.InvariantCulture));
Console.WriteLine(string.Join(' ', likeliest));
return 0;
