#include "vox_scene_graph.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace stadial::sandbox {

std::array<std::int64_t, 3> VoxRotation::Apply(const std::array<std::int64_t, 3>& v) const noexcept {
  std::array<std::int64_t, 3> result{};
  for (std::size_t row = 0; row < 3; ++row) result[row] = sign[row] * v[axis[row]];
  return result;
}

VoxRotation Multiply(const VoxRotation& a, const VoxRotation& b) noexcept {
  VoxRotation product;
  for (std::size_t row = 0; row < 3; ++row) {
    product.axis[row] = b.axis[a.axis[row]];
    product.sign[row] = static_cast<std::int8_t>(a.sign[row] * b.sign[a.axis[row]]);
  }
  return product;
}

bool UnpackVoxRotation(std::uint8_t packed, VoxRotation& rotation) noexcept {
  const std::uint32_t bits = packed;
  const auto first = static_cast<std::uint8_t>(bits & 3U);
  const auto second = static_cast<std::uint8_t>((bits >> 2) & 3U);
  if (bits >= 128 || first == 3 || second == 3 || first == second) return false;
  rotation.axis = {first, second, static_cast<std::uint8_t>(3 - first - second)};
  for (std::size_t row = 0; row < 3; ++row) {
    rotation.sign[row] = ((bits >> (4 + row)) & 1U) != 0 ? std::int8_t{-1} : std::int8_t{1};
  }
  return true;
}

std::uint8_t PackVoxRotation(const VoxRotation& rotation) noexcept {
  unsigned packed = rotation.axis[0] | static_cast<unsigned>(rotation.axis[1] << 2);
  for (unsigned row = 0; row < 3; ++row) {
    if (rotation.sign[row] < 0) packed |= 1U << (4 + row);
  }
  return static_cast<std::uint8_t>(packed);
}

std::array<std::int64_t, 3> VoxInstance::Place(const std::array<std::int64_t, 3>& v,
                                               const std::array<std::int32_t, 3>& size) const noexcept {
  // Twice the centre of the cell relative to the pivot is odd in every component and stays odd when rotated,
  // so the floor of half of it is exact.
  std::array<std::int64_t, 3> doubled{};
  for (std::size_t a = 0; a < 3; ++a) doubled[a] = 2 * (v[a] - size[a] / 2) + 1;
  std::array<std::int64_t, 3> placed = rotation.Apply(doubled);
  for (std::size_t a = 0; a < 3; ++a) placed[a] = (placed[a] - 1) / 2 + translation[a];
  return placed;
}

namespace {

struct Visit {
  std::uint32_t node;  // index into VoxScene::nodes
  VoxRotation rotation;
  std::array<std::int64_t, 3> translation;
  bool leave;  // the subtree of `node` is done
};

class Flattener {
 public:
  Flattener(const VoxScene& scene, const VoxFlattenOptions& options) : scene_(scene), options_(options) {}

  Result<VoxFlattened> Run();

 private:
  Result<std::uint32_t> FindRoot() const;
  Result<std::uint32_t> FindNode(std::int32_t id, const VoxNode& parent) const;
  Result<void> Enter(const Visit& visit);
  Result<void> Show(const VoxNode& node, const Visit& visit);
  bool IsHidden(const VoxNode& node) const;
  void NoteFrame(std::int32_t frame) { frames_.insert(frame); }

  const VoxScene& scene_;
  const VoxFlattenOptions& options_;
  std::unordered_map<std::int32_t, std::uint32_t> indexOf_;
  std::unordered_set<std::int32_t> hiddenLayers_;
  std::unordered_set<std::int32_t> frames_;
  std::vector<bool> onPath_;
  std::vector<Visit> stack_;
  std::uint32_t depth_ = 0;
  std::uint32_t visits_ = 0;
  VoxFlattened out_;
};

Result<std::uint32_t> Flattener::FindRoot() const {
  const auto zero = indexOf_.find(0);
  if (zero != indexOf_.end()) return zero->second;
  std::unordered_set<std::int32_t> children;
  for (const VoxNode& node : scene_.nodes) children.insert(node.children.begin(), node.children.end());
  std::uint32_t root = 0;
  std::uint32_t roots = 0;
  for (std::uint32_t i = 0; i < scene_.nodes.size(); ++i) {
    if (children.contains(scene_.nodes[i].id)) continue;
    root = roots == 0 ? i : root;
    ++roots;
  }
  if (roots != 1) {
    return Error::Format(
        ErrorCode::CorruptData,
        "the scene graph (%zu nodes) has no node 0 and %u nodes without a parent; it needs one root",
        scene_.nodes.size(), roots);
  }
  return root;
}

Result<std::uint32_t> Flattener::FindNode(std::int32_t id, const VoxNode& parent) const {
  const auto found = indexOf_.find(id);
  if (found == indexOf_.end()) {
    return Error::Format(ErrorCode::CorruptData,
                         "%s node %d names child %d, which is not among the %zu nodes of the file",
                         ToString(parent.kind), parent.id, id, scene_.nodes.size());
  }
  return found->second;
}

bool Flattener::IsHidden(const VoxNode& node) const {
  return !options_.includeHidden &&
         (node.hidden || (node.kind == VoxNodeKind::Transform && hiddenLayers_.contains(node.layer)));
}

Result<void> Flattener::Show(const VoxNode& node, const Visit& visit) {
  for (const VoxShapeModel& shown : node.models) {
    if (shown.model < 0 || static_cast<std::size_t>(shown.model) >= scene_.models.size()) {
      return Error::Format(ErrorCode::CorruptData, "shape node %d shows model %d of %zu", node.id,
                           shown.model, scene_.models.size());
    }
    if (&shown != node.models.data()) NoteFrame(shown.frame);
  }
  if (out_.instances.size() >= options_.instancesMax) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "the scene graph places more than %u models; raise VoxFlattenOptions::instancesMax if that is meant",
        options_.instancesMax);
  }
  out_.instances.push_back(
      {static_cast<std::uint32_t>(node.models[0].model), visit.rotation, visit.translation});
  return {};
}

Result<void> Flattener::Enter(const Visit& visit) {
  const VoxNode& node = scene_.nodes[visit.node];
  if (++visits_ > options_.visitsMax) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "the scene graph (%zu nodes) unfolds to more than %u visits, at %s node %d",
                         scene_.nodes.size(), options_.visitsMax, ToString(node.kind), node.id);
  }
  if (onPath_[visit.node]) {
    return Error::Format(ErrorCode::CorruptData,
                         "the scene graph has a cycle: %s node %d is its own ancestor", ToString(node.kind),
                         node.id);
  }
  if (depth_ >= options_.depthMax) {
    return Error::Format(ErrorCode::CapacityExceeded, "the scene graph is deeper than %u nodes at %s node %d",
                         options_.depthMax, ToString(node.kind), node.id);
  }
  if (IsHidden(node)) {
    ++out_.hiddenNodes;
    return {};
  }
  if (node.kind == VoxNodeKind::Shape) return Show(node, visit);

  Visit child = visit;
  if (node.kind == VoxNodeKind::Transform) {
    const VoxTransformFrame& frame = node.frames[0];
    VoxRotation rotation;
    UnpackVoxRotation(frame.rotation, rotation);
    const auto moved =
        visit.rotation.Apply({frame.translation[0], frame.translation[1], frame.translation[2]});
    for (std::size_t a = 0; a < 3; ++a) child.translation[a] += moved[a];
    child.rotation = Multiply(visit.rotation, rotation);
    for (std::size_t i = 1; i < node.frames.size(); ++i) NoteFrame(node.frames[i].frame);
  }
  onPath_[visit.node] = true;
  ++depth_;
  stack_.push_back({visit.node, {}, {}, true});
  // Every stacked child becomes a visit: refuse before the stack grows beyond what may still be visited.
  // (depth_ of its records only mark where a subtree ends.)
  const std::size_t pending = stack_.size() - depth_;
  if (pending + node.children.size() > options_.visitsMax - visits_) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "%s node %d has %zu children, beyond the limit of %u visits", ToString(node.kind),
                         node.id, node.children.size(), options_.visitsMax);
  }
  for (auto id = node.children.rbegin(); id != node.children.rend(); ++id) {
    STADIAL_ASSIGN_OR_RETURN(child.node, FindNode(*id, node));
    stack_.push_back(child);
  }
  return {};
}

Result<VoxFlattened> Flattener::Run() {
  if (scene_.nodes.empty()) {
    if (!scene_.models.empty()) out_.instances.push_back({});
    for (std::size_t i = 1; i < scene_.models.size(); ++i)
      out_.animationFrames.push_back(static_cast<std::int32_t>(i));
    return std::move(out_);
  }
  for (std::uint32_t i = 0; i < scene_.nodes.size(); ++i) indexOf_.emplace(scene_.nodes[i].id, i);
  for (const VoxLayer& layer : scene_.layers) {
    if (layer.hidden) hiddenLayers_.insert(layer.id);
  }
  onPath_.assign(scene_.nodes.size(), false);
  STADIAL_ASSIGN_OR_RETURN(const std::uint32_t root, FindRoot());
  stack_.push_back({root, {}, {}, false});
  while (!stack_.empty()) {
    const Visit visit = stack_.back();
    stack_.pop_back();
    if (visit.leave) {
      onPath_[visit.node] = false;
      --depth_;
      continue;
    }
    STADIAL_RETURN_IF_ERROR(Enter(visit));
  }
  out_.animationFrames.assign(frames_.begin(), frames_.end());
  std::sort(out_.animationFrames.begin(), out_.animationFrames.end());
  return std::move(out_);
}

}  // namespace

Result<VoxFlattened> FlattenVox(const VoxScene& scene, const VoxFlattenOptions& options) {
  return Flattener(scene, options).Run();
}

}  // namespace stadial::sandbox
