// Continues a text with the packed sample model: greedy decoding, one token at a time.
//
//   dotnet run --project samples/RunModel -c Release -- tinyllama.mpack samples/models/tinyllama
using System.Text;
using System.Text.Json;
using ModelPack.Runtime;

if (args.Length != 2)
{
    Console.Error.WriteLine("usage: RunModel <model.mpack> <folder with vocab.json and eval_dev.tokens.bin>");
    return 2;
}

using ModelSession model = ModelSession.Open(args[0]);
foreach (ModelValue input in model.Inputs)
{
    Console.WriteLine($"input  {input}");
}

foreach (ModelValue output in model.Outputs)
{
    Console.WriteLine($"output {output}");
}

string[] words = Vocabulary(Path.Combine(args[1], "vocab.json"));
List<long> ids = [.. FirstTokens(Path.Combine(args[1], "eval_dev.tokens.bin"), 24)];
Console.Write(Text(ids));
Console.Write(" ...");
for (int i = 0; i < 24; i++)
{
    NamedTensor logits = model.Run(NamedTensor.Of("input_ids", ids.ToArray(), 1, ids.Count))[0];
    ReadOnlySpan<float> last = logits.Values<float>()[^words.Length..];
    ids.Add(IndexOfMax(last));
    Console.Write(Text([ids[^1]]));
}

Console.WriteLine();
return 0;

static int IndexOfMax(ReadOnlySpan<float> values)
{
    int best = 0;
    for (int i = 1; i < values.Length; i++)
    {
        best = values[i] > values[best] ? i : best;
    }

    return best;
}

static IEnumerable<long> FirstTokens(string path, int count)
{
    byte[] bytes = File.ReadAllBytes(path);
    return Enumerable.Range(0, count).Select(i => (long)BitConverter.ToUInt16(bytes, 2 * i));
}

static string[] Vocabulary(string path)
{
    using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
    return [.. json.RootElement.EnumerateObject().OrderBy(p => p.Value.GetInt32()).Select(p => p.Name)];
}

// Byte-level BPE writes a space as U+0120 and a line feed as U+010A.
string Text(IEnumerable<long> tokens)
{
    var text = new StringBuilder();
    foreach (long id in tokens)
    {
        text.Append(words[id]);
    }

    return text.Replace('\u0120', ' ').Replace('\u010A', '\n').ToString();
}
