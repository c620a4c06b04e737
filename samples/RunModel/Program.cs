// Continues a text with the packed sample model: greedy decoding, one token at a time.
//
//   dotnet run --project samples/RunModel -c Release -- tinyllama.mpack samples/models/tinyllama
using System.Text.Json;
using ModelPack.Runtime;

const int PromptStart = 4000;
const int PromptTokens = 32;
const int NewTokens = 24;

if (args.Length != 2)
{
    Console.Error.WriteLine("usage: RunModel <model.mpack> <folder with vocab.json and eval_dev.tokens.bin>");
    return 2;
}

string artifact = args[0];
using PackedModel model = PackedModel.Open(artifact);
foreach (ModelValue value in model.Inputs.Concat(model.Outputs))
{
    Console.WriteLine(value);
}

string[] words = Vocabulary(Path.Combine(args[1], "vocab.json"));
List<long> ids = [.. Prompt(Path.Combine(args[1], "eval_dev.tokens.bin"))];
Console.Write(Text(ids));
Console.Write(" ...");
for (int i = 0; i < NewTokens; i++)
{
    NamedTensor tokens = NamedTensor.Of("input_ids", ids.ToArray(), 1, ids.Count);
    IReadOnlyList<NamedTensor> outputs = model.Run(tokens);
    ReadOnlySpan<float> logits = outputs[0].Values<float>();
    ids.Add(IndexOfMax(logits[^words.Length..]));
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

static IEnumerable<long> Prompt(string path)
{
    byte[] bytes = File.ReadAllBytes(path);
    return Enumerable.Range(0, PromptTokens).Select(i => (long)BitConverter.ToUInt16(bytes, 2 * (PromptStart + i)));
}

static string[] Vocabulary(string path)
{
    using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
    return [.. json.RootElement.EnumerateObject().OrderBy(p => p.Value.GetInt32()).Select(p => p.Name)];
}

// Byte-level BPE writes a space as U+0120 and a line feed as U+010A.
string Text(IEnumerable<long> tokens) => string.Concat(tokens.Select(id => words[id])).Replace('\u0120', ' ').Replace('\u010A', '\n');
